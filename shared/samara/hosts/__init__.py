"""What a cloud's runtime starts: one function of the catalogue, by `SAMARA_FUNCTION`, behind its cloud's payloads."""
