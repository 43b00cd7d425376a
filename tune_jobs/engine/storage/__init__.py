"""A folder anywhere: on this machine, on a shared disk, in S3 or in GCS."""
