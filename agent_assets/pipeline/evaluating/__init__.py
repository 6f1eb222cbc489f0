"""How a candidate is asked before its release: as it is served, with what other elders know."""
