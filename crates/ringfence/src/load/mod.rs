//! From bytes nobody trusts to compiled code.
