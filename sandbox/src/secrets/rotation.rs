//! Secrets of database users, and their rotation in the four steps of AWS's functions.

use serde_json::{Value, json};

use super::{CURRENT, DatabaseLogin, PENDING};
use crate::{Engine, Error, Sandbox, Server};

/// How a secret is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The user gets a new password: between two steps the current version does not work.
    SingleUser,
    /// A second user, `NAME_clone`, takes turns with the first.
    AlternatingUsers,
}

/// The steps of a rotation, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Stores a new password as `AWSPENDING`.
    CreateSecret,
    /// Sets it in the database.
    SetSecret,
    /// Would log in with it; a pause here, as that is what tests of clients need.
    TestSecret,
    /// Moves `AWSCURRENT`.
    FinishSecret,
}

impl Sandbox {
    /// Creates a database user with all rights on `database`, and a secret for it as AWS's rotation
    /// functions write it.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`], and [`Error::NoEngine`] for an engine that the sandbox lacks.
    pub async fn create_secret(
        &self,
        name: &str,
        engine: Engine,
        database: &str,
        rotation: Rotation,
    ) -> Result<(), Error> {
        let server = self.engine(engine).ok_or(Error::NoEngine)?;
        // Other sandboxes may use the server, too.
        let username = format!("secret_{}", &super::random_id()[..8]);
        let password = new_password();
        server.put_user(&username, &password, database).await?;
        let value = value(server, &username, &password, database);
        let login = DatabaseLogin {
            engine,
            database: database.to_owned(),
            rotation,
        };
        self.secrets().put_login(name, &value, login);
        Ok(())
    }

    /// Takes one step of a rotation.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] for a secret that was not made by [`create_secret`](Self::create_secret),
    /// or a step whose predecessor was not taken, and [`Error::Sql`].
    pub async fn rotate_step(&self, name: &str, step: RotationStep) -> Result<(), Error> {
        let login = self.secrets().login(name)?;
        let server = self.engine(login.engine).ok_or(Error::NoEngine)?;
        let at = |stage| {
            let value = self.secrets().value(name, stage);
            value.ok_or_else(|| Error::secret(name, "has no version at the stage of this step"))
        };
        match step {
            RotationStep::CreateSecret => {
                let current = at(CURRENT)?;
                let username = next_user(field(&current, "username"), login.rotation);
                let value = value(server, &username, &new_password(), &login.database);
                self.secrets().put_pending(name, &value);
            }
            RotationStep::SetSecret => {
                let pending = at(PENDING)?;
                let (username, password) =
                    (field(&pending, "username"), field(&pending, "password"));
                server.put_user(username, password, &login.database).await?;
            }
            RotationStep::TestSecret => {
                at(PENDING)?;
            }
            RotationStep::FinishSecret => self.secrets().finish(name)?,
        }
        Ok(())
    }

    /// Takes all four steps.
    ///
    /// # Errors
    ///
    /// As of [`rotate_step`](Self::rotate_step).
    pub async fn rotate(&self, name: &str) -> Result<(), Error> {
        for step in [
            RotationStep::CreateSecret,
            RotationStep::SetSecret,
            RotationStep::TestSecret,
            RotationStep::FinishSecret,
        ] {
            self.rotate_step(name, step).await?;
        }
        Ok(())
    }
}

fn next_user(username: &str, rotation: Rotation) -> String {
    match (rotation, username.strip_suffix("_clone")) {
        (Rotation::SingleUser, _) => username.to_owned(),
        (Rotation::AlternatingUsers, Some(first)) => first.to_owned(),
        (Rotation::AlternatingUsers, None) => format!("{username}_clone"),
    }
}

pub(crate) fn value(server: &Server, username: &str, password: &str, database: &str) -> Value {
    let endpoint = server.endpoint();
    json!({
        "engine": match server.engine() {
            Engine::Postgres => "postgres",
            Engine::MySql => "mysql",
        },
        "host": endpoint.host,
        "port": endpoint.port,
        "username": username,
        "password": password,
        "dbname": database,
    })
}

fn field<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// Of hexadecimal digits, which SQL takes as they are.
pub(crate) fn new_password() -> String {
    super::random_id().replace('-', "")
}
