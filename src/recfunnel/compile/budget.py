"""What passes may spend on tables they make."""

from dataclasses import dataclass

NO_LIMIT = 1 << 62


@dataclass(slots=True)
class Budget:
    """What is left to spend; one pass takes from it table by table.

    Args:
        growth_bytes: by which all parameters together may still grow, what a new table replaces
            taken off.
        made_bytes: of tables that may still be made. A table as trained lies in the model's file,
            mapped and shared between processes; one that is made is computed when the model is
            compiled, and is memory of its own.
    """

    growth_bytes: int
    made_bytes: int = NO_LIMIT

    def take(self, made_bytes: int, freed_bytes: int) -> bool:
        """Spend on a table if there is enough left.

        Args:
            made_bytes: of the table.
            freed_bytes: of parameters that nobody reads any more because of it.

        Returns:
            Whether it was enough.
        """
        growth = max(0, made_bytes - freed_bytes)
        if growth > self.growth_bytes or made_bytes > self.made_bytes:
            return False
        self.growth_bytes -= growth
        self.made_bytes -= made_bytes
        return True
