const { RDSDataClient } = require("@aws-sdk/client-rds-data");
const { drizzle } = require("drizzle-orm/aws-data-api/pg");
const { eq, sql } = require("drizzle-orm");
const { boolean, jsonb, pgTable, serial, text, timestamp, uuid } = require("drizzle-orm/pg-core");

const summary = JSON.parse(process.argv[1]);
const api = summary.data_api;
const print = (...values) => console.log(values.map((value) => JSON.stringify(value)).join(" "));

async function main() {
  const { resource_arn: resourceArn, secret_arn: secretArn, database } = api.postgres;
  const db = drizzle(new RDSDataClient({}), { database, secretArn, resourceArn });
  await db.execute(sql`CREATE TABLE todos (id serial PRIMARY KEY, key uuid, what text NOT NULL, done boolean, at timestamp, more jsonb)`);
  const todos = pgTable("todos", {
    id: serial("id").primaryKey(), key: uuid("key"), what: text("what").notNull(), done: boolean("done"), at: timestamp("at"), more: jsonb("more"),
  });
  const key = "00000000-0000-0000-0000-000000000001";
  const at = new Date("2020-01-02T03:04:05.678Z");
  print(await db.insert(todos).values({ key, what: "é'", done: false, at, more: { a: [1] } }).returning());
  print(await db.select().from(todos).where(eq(todos.key, key)));
  await db.transaction(async (tx) => {
    await tx.update(todos).set({ done: true });
    await tx.transaction(async (inner) => {
      await inner.delete(todos);
      inner.rollback();
    }).catch((error) => print(error.name));
  });
  await db.transaction(async (tx) => {
    await tx.delete(todos);
    throw new Error("no");
  }).catch((error) => print(error.message));
  print(await db.select({ id: todos.id, done: todos.done }).from(todos));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
