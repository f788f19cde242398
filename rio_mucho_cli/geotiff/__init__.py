"""Write GeoTIFFs from encoded blocks. Nothing here depends on inputs or jobs."""
