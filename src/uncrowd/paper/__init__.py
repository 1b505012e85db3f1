"""The paper's numbers: its tables, the cost of the models here beside them, and the scores a run should reach."""
