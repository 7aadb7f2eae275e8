"""CloudEvents of which a part stands elsewhere: attributes in record headers, data in base64."""
