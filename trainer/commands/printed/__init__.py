"""What commands share to show: progress, tables, reports, and how two versions differ."""
