SELECT stations.name, hour, celsius
FROM readings
JOIN stations ON stations.id = readings.station
WHERE celsius > $1
ORDER BY celsius DESC
