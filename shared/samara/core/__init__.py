"""The words and decisions every function shares. Pure: values in, values out."""
