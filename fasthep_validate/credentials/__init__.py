"""Credentials that the work needs, and the certificates of a run.

- ``fault``, ``x509``, ``kerberos``, ``token``, ``kinds``: what can be wrong with a credential that was seen.
- ``chain``: the signatures of a proxy's chain.
- ``preflight``: looks at the submit host's, before anything is packed or queued.
- ``delivery``: how they travel; ``files``: the copies that are sent; ``renewal``: and are sent again.
- ``run_tls``: the certificates that scheduler, workers and clients know each other by.

What is read of a credential is read by the probe's own code (``worker/probe_x509.py`` and its neighbours), here
and on the workers.
"""
