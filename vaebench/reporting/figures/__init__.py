"""Pictures of a suite's records: one small module a kind, and a catalogue that knows what applies."""
