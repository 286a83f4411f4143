//! What an operator reads of each fault: a line for each thing that went wrong, and none that goes
//! right again in silence.

use std::time::Duration;

use sqlx_rds::Connector;
use sqlx_rds_sandbox::{ConnectFault, Engine, LoginFault};

use crate::plane::{Plane, Script, TestEngine, on_both_engines};
use crate::spy;

on_both_engines! {
    each_fault_at_connect_is_told_once,
}

async fn each_fault_at_connect_is_told_once<DB: TestEngine>() {
    let retry = "INFO not yet, trying again";
    let refused = "WARN login refused";
    let failed = "WARN connect failed";

    let told = told_of::<DB>(|_| {}).await;
    assert!(told.is_empty(), "all is well: {told:?}");
    let told = told_of::<DB>(|plane| plane.server().gateway().refuse_next(1)).await;
    assert_eq!(told, [refused]);
    let told = told_of::<DB>(|plane| plane.server().gateway().refuse_next(2)).await;
    assert_eq!(told, [refused, failed]);
    let told = told_of::<DB>(|plane| {
        let (code, text) = match plane.server().engine() {
            Engine::Postgres => ("53300", "sorry, too many clients already"),
            _ => ("1040", "Too many connections"),
        };
        let full = LoginFault::error(code, text);
        plane.server().gateway().play_next(2, full);
    })
    .await;
    assert_eq!(told, [retry, retry]);
    let told = told_of::<DB>(|plane| {
        let gateway = plane.server().gateway();
        gateway.play_at_connect(1, ConnectFault::Reset);
    })
    .await;
    assert_eq!(told, [retry]);
    let told = told_of::<DB>(|plane| {
        let gateway = plane.server().gateway();
        gateway.play_at_connect(1, ConnectFault::NoTls);
    })
    .await;
    assert_eq!(told, [failed]);
    let told = told_of::<DB>(|plane| {
        plane.credentials.set(Script {
            failing: true,
            ..Script::default()
        });
    })
    .await;
    assert_eq!(told.last().map(String::as_str), Some(failed), "{told:?}");
    assert!(told.contains(&"WARN login could not be refreshed".to_owned()));
}

/// What is logged by one connect under a fault, whether it comes to a connection or not.
async fn told_of<DB: TestEngine>(order: impl Fn(&Plane<DB>)) -> Vec<String> {
    let plane = Plane::<DB>::shared().await;
    order(&plane);
    let options = plane.options().connect_timeout(Duration::from_secs(10));
    let connector = Connector::new(options).unwrap();
    let _ = connector.connect().await;
    spy::said(plane.server().endpoint().port)
}
