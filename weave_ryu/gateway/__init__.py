"""Who forwards on a segment's gateway port: roles, epochs and permits, sans-IO."""
