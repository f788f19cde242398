"""Write a GeoTIFF from blocks encoded elsewhere, independent of inputs and jobs."""
