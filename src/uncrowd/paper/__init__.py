"""The paper's numbers: what its tables say, what models here cost beside them, what a run is expected to reach."""
