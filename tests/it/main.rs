//! Everything that needs a server, on real servers behind the sandbox's gateways.

mod environment;
mod heal;
mod layers;
mod login;
mod manager;
mod plane;
mod pool;
mod redaction;
mod settings;
mod transaction;
