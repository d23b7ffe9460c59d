"""The typed values that travel between the steps of a run; frozen, no input or output.

Each box of the pipeline is one module: ``profile`` -> ``execution`` -> ``packed`` -> ``job`` ->
``event`` and ``evidence`` -> ``report``.
"""
