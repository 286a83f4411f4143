SELECT stations.name, min(celsius) AS coldest, max(celsius) AS warmest
FROM stations
LEFT JOIN readings ON readings.station = stations.id
GROUP BY stations.name
ORDER BY warmest DESC NULLS LAST
