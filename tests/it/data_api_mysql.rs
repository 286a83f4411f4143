//! What MySQL has of its own over the Data API, and that it has the rest as well.
