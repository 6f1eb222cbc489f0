"""Projects: folders whose pipelines run, and making one."""
