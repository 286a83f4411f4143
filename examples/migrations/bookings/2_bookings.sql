CREATE TABLE bookings (
    room TEXT NOT NULL REFERENCES rooms (name),
    hour INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23),
    person TEXT NOT NULL,
    PRIMARY KEY (room, hour)
);
