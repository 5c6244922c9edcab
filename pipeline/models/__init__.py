"""The models behind small adapters, loaded when first asked for. The only importers of torch in a run."""
