"""A GeoTIFF from blocks that were encoded elsewhere. Knows neither inputs nor jobs."""
