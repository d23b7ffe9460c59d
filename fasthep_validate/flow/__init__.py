"""FAST-HEP's workflows on our pools: the backend ``dask`` of fasthep-flow, with the start-up that is validated.

A workflow chooses it with a profile of this package::

    use: {profiles: [hep, "fasthep_validate:registry"]}
    execution: {backend: dask, strategy: htcondor, config: {site: lxplus}}

fasthep-flow is an optional extra: nothing here is imported unless a workflow is run or validated.
"""
