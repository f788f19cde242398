"use strict";
const root = document.documentElement;

// Light, dark, or the theme of the system.
const themes = ["auto", "dark", "light"];
const theme = document.getElementById("theme");
theme.addEventListener("click", () => {
  const next = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length];
  root.dataset.theme = next;
  theme.textContent = "Theme: " + next;
});

// Hide stages of the timeline.
for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", shown);
    document.getElementById("timeline").classList.toggle("no-" + button.dataset.stage, !shown);
  });
}

// Choose what the colours of the map mean.
for (const choice of document.querySelectorAll(".choices input")) {
  choice.addEventListener("change", () => {
    const index = Number(choice.value);
    for (const cell of document.querySelectorAll(".map .cell[data-q]")) {
      cell.setAttribute("class", "cell q" + cell.dataset.q[index]);
    }
    document.getElementById("low").textContent = choice.dataset.low;
    document.getElementById("high").textContent = choice.dataset.high;
  });
}

// Show titles at once, not after a second.
const tip = document.getElementById("tip");
document.addEventListener("pointermove", (event) => {
  const marked = event.target.closest ? event.target.closest(".stretch, .cell") : null;
  tip.hidden = !marked;
  if (!marked) return;
  const title = marked.querySelector("title");
  if (title) {
    marked.dataset.tip = title.textContent;
    title.remove();
  }
  tip.textContent = marked.dataset.tip;
  const right = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 18 + tip.offsetHeight < innerHeight;
  tip.style.left = Math.max(8, right) + "px";
  tip.style.top = (below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10) + "px";
});
