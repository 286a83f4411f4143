-- Several statements at once: `raw_sql` takes them as psql would.
DROP TABLE IF EXISTS readings;
DROP TABLE IF EXISTS stations;

CREATE TABLE stations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE readings (
    station INTEGER NOT NULL REFERENCES stations (id),
    hour INTEGER NOT NULL,
    celsius INTEGER NOT NULL,
    PRIMARY KEY (station, hour)
);

INSERT INTO stations (id, name) VALUES (1, 'Harbour'), (2, 'Summit'), (3, 'Glacier');
INSERT INTO readings (station, hour, celsius)
VALUES (1, 6, 11), (1, 12, 17), (2, 6, -3), (2, 12, 2);
