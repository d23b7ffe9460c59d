"""Credentials of a run; so far the certificates that Dask's own connections use."""
