"""Names kept in: exports without identifiers, and outputs that hold nothing but what they may."""
