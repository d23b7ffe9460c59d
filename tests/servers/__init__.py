"""What a site has, made for real on one machine: a CA, VOMS, a KDC, a token issuer, XRootD storage.

- ``ca``: a certificate authority, its certificates and its CRL.  ``proxies``: proxy certificates.
- ``voms``: attribute certificates, and what a client needs to believe them.
- ``kdc``: an MIT KDC, its principals and tickets.
- ``tokens``: bearer tokens, and the server that their keys are fetched from.
- ``xrootd``: a storage server that takes all three.
- ``site``: all of it together; ``python -m tests.servers`` holds it for somebody at a terminal.

Servers are ordinary processes on loopback (or on an address of the testbed), in a folder of their own.
"""
