SELECT id, text, done
FROM todos
WHERE NOT done OR $1
ORDER BY id
