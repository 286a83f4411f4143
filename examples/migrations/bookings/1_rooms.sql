CREATE TABLE rooms (
    name TEXT PRIMARY KEY,
    seats INTEGER NOT NULL CHECK (seats > 0)
);
