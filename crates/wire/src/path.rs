//! Path normalisation: one spelling for what is matched and what is forwarded.
