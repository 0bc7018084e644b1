"""MP-Rec's evaluation (Hsia et al., ASPLOS 2023) beside ours, from datasheets and exact work."""
