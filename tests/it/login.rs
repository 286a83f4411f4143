//! Who gets in, with which login, and at what cost.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use sqlx::Connection;
use sqlx_rds::{ConnectOptions, Connector, ErrorKind, Login, PoolOptions};
use sqlx_rds_sandbox::{LoginEvent, Verdict};
use tokio::sync::Barrier;

use crate::plane::{Plane, Script, TestEngine, is_near, on_both_engines};

on_both_engines! {
    a_fresh_token_logs_in,
    an_expired_token_is_replaced,
    a_login_refused_once_is_made_again,
    a_login_refused_for_ever_ends_with_the_servers_own_error,
    a_server_that_goes_on_refusing_is_not_hammered,
    credentials_that_die_before_the_token_are_replaced_in_time,
    dying_credentials_serve_while_their_provider_fails,
    sixty_four_refused_tasks_make_one_new_login,
    a_closure_can_provide_the_login,
    a_refused_password_is_the_callers_business,
}

async fn a_fresh_token_logs_in<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(2)).await;
    assert_eq!(DB::number(&pool, "SELECT 41 + 1").await.unwrap(), 42);

    let events = plane.server().gateway().events().all();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].verdict, Verdict::Accepted);
    assert_eq!(events[0].username, "app");
    assert_eq!(events[0].tls_version, Some("TLSv1.3"));
    assert_eq!(plane.credentials.asked(), 1);
    pool.close().await;
}

async fn an_expired_token_is_replaced<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let connector = Connector::new(plane.options()).unwrap();
    let pool = PoolOptions::new()
        .ping_after(Duration::ZERO)
        .idle_timeout(None)
        .build(connector.clone())
        .unwrap();
    DB::execute(&pool, "SELECT 1").await.unwrap();
    assert_eq!(connector.login().await.unwrap().unwrap().generation(), 1);

    plane.advance(Duration::from_secs(20 * 60));
    assert!(is_near(
        plane.clock.now().wall(),
        plane.sandbox.clock().now()
    ));
    // An open session outlives its token.
    DB::execute(&pool, "SELECT 1").await.unwrap();
    assert_eq!(plane.accepted(), 1);

    plane.server().gateway().kill_connections();
    DB::execute(&pool, "SELECT 1").await.unwrap();
    assert_eq!((plane.accepted(), plane.refused()), (2, 0));
    assert_eq!(connector.login().await.unwrap().unwrap().generation(), 2);
    pool.close().await;
}

async fn a_login_refused_once_is_made_again<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    plane.server().gateway().refuse_next(1);
    let connector = Connector::new(plane.options()).unwrap();
    connector.connect().await.unwrap();
    assert_eq!((plane.accepted(), plane.refused()), (1, 1));
    assert_eq!(connector.login().await.unwrap().unwrap().generation(), 2);
    assert_eq!(
        plane.credentials.asked(),
        2,
        "the second token is signed by fresh credentials"
    );
}

async fn a_login_refused_for_ever_ends_with_the_servers_own_error<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    plane.server().gateway().refuse_next(usize::MAX);
    let connector = Connector::new(plane.options()).unwrap();
    let error = connector.connect().await.map(drop).unwrap_err();
    assert!(DB::is_refusal(&error), "{error:?}");
    assert_eq!(ErrorKind::of(&error), ErrorKind::Refused);
    assert_eq!(plane.refused(), 2, "one login and one more");
}

async fn a_server_that_goes_on_refusing_is_not_hammered<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    plane.server().gateway().refuse_next(usize::MAX);
    let connector = Connector::new(plane.options()).unwrap();
    for _ in 0..3 {
        let error = connector.connect().await.map(drop).unwrap_err();
        assert!(DB::is_refusal(&error), "{error:?}");
    }
    let seen = plane.refused();
    for _ in 0..100 {
        let error = connector.connect().await.map(drop).unwrap_err();
        assert!(!DB::is_refusal(&error), "{error:?}");
        // What the server said is still told.
        assert_eq!(ErrorKind::of(&error), ErrorKind::Refused);
    }
    assert_eq!(plane.refused(), seen, "nobody asked the server");

    // After the pause one asks, and what it hears holds for all.
    plane.advance(Duration::from_secs(1));
    let error = connector.connect().await.map(drop).unwrap_err();
    assert!(DB::is_refusal(&error), "{error:?}");
    assert!(plane.refused() > seen);
    plane.server().gateway().refuse_next(0);
    connector.connect().await.map(drop).unwrap_err();
    plane.advance(Duration::from_secs(30));
    connector.connect().await.unwrap().close().await.unwrap();
    let crowd = (0..4).map(|_| connector.connect());
    for connection in try_join_all(crowd).await.unwrap() {
        connection.close().await.unwrap();
    }
}

async fn credentials_that_die_before_the_token_are_replaced_in_time<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    plane.credentials.set(Script {
        life: Some(Duration::from_secs(300)),
        ..Script::default()
    });
    let connector = Connector::new(plane.options()).unwrap();
    connector.connect().await.unwrap();
    let login = connector.login().await.unwrap().unwrap();
    let life = login
        .expires_at()
        .unwrap()
        .duration_since(plane.clock.now().wall())
        .unwrap();
    assert_eq!(life, Duration::from_secs(300));

    plane.advance(Duration::from_secs(301));
    connector.connect().await.unwrap();
    assert_eq!((plane.accepted(), plane.refused()), (2, 0));
    assert_eq!(plane.credentials.asked(), 2);
}

async fn dying_credentials_serve_while_their_provider_fails<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    plane.credentials.set(Script {
        life: Some(Duration::from_secs(600)),
        ..Script::default()
    });
    let connector = Connector::new(plane.options()).unwrap();
    connector.connect().await.unwrap();
    plane.credentials.set(Script {
        failing: true,
        ..Script::default()
    });
    plane.advance(Duration::from_secs(595));
    connector.connect().await.unwrap();
    plane.advance(Duration::from_secs(10));
    let error = connector.connect().await.map(drop).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Login, "{error}");
    assert_eq!(
        (plane.accepted(), plane.refused()),
        (2, 0),
        "no dead token was presented"
    );
}

async fn sixty_four_refused_tasks_make_one_new_login<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    // The first credentials sign what the server refuses; fresh ones are good.
    plane.credentials.set(Script {
        wrong: 1,
        ..Script::default()
    });
    let connector = Connector::new(plane.options()).unwrap();
    let start = Arc::new(Barrier::new(64));
    let mut tasks = Vec::new();
    for _ in 0..64 {
        let (connector, start) = (connector.clone(), Arc::clone(&start));
        tasks.push(tokio::spawn(async move {
            // All of them hold the first login before any presents it.
            let login = connector.login().await.unwrap().unwrap();
            assert_eq!(login.generation(), 1);
            start.wait().await;
            connector.connect().await
        }));
    }
    let mut connections = Vec::new();
    for task in tasks {
        connections.push(task.await.unwrap().unwrap());
    }
    assert_eq!(connector.login().await.unwrap().unwrap().generation(), 2);
    assert_eq!(plane.credentials.asked(), 2);
    assert_eq!(plane.accepted(), 64);
    assert!((1..=64).contains(&plane.refused()), "{}", plane.refused());
}

async fn a_closure_can_provide_the_login<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let token = plane.server().token("app");
    let options: ConnectOptions<DB> = plane.url().parse().unwrap();
    let options = options.login_provider(move || {
        let token = token.clone();
        async move { Ok(Login::new("app", token)) }
    });
    let pool = PoolOptions::new().connect_with(options).await.unwrap();
    assert_eq!(DB::number(&pool, "SELECT 1 + 0").await.unwrap(), 1);
    pool.close().await;
}

async fn a_refused_password_is_the_callers_business<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let url = |password: &str| {
        plane
            .server()
            .url_of("orders")
            .replace("://app@", &format!("://report:{password}@"))
            .replace("auth=iam", "auth=password")
    };
    let connector = Connector::new(url("wrong").parse::<ConnectOptions<DB>>().unwrap()).unwrap();
    let error = connector.connect().await.map(drop).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Refused, "{error:?}");
    let forwarded = |event: &LoginEvent| event.verdict == Verdict::Forwarded;
    assert_eq!(plane.server().gateway().events().count(forwarded), 1);
}
