"""A real HTCondor and Slurm site on one machine: a submit node, worker nodes, two batch systems.

``python -m tests.testbed up`` starts it, ``docs/how-to/testbed.md`` says what it is.
"""
