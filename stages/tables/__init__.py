"""What commands print: one module per table, and how numbers and strangers' texts are written in all of them."""
