//! sqlx's pool, method by method: each has its row in `docs/migrating.md`, and what the row promises.
//!
//! sqlx's source is read where cargo has put it, so that a new release of sqlx shows what is
//! missing here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use quote::ToTokens;
use syn::{FnArg, ImplItem, ImplItemFn, Item, Type, Visibility};

const TYPES: &[&str] = &["Pool", "PoolOptions", "PoolConnection", "CloseEvent"];

/// `Pool::acquire`, and the types of its arguments.
type Methods = BTreeMap<String, String>;

/// The public methods that a file adds to the four types.
fn methods(file: &Path, into: &mut Methods) {
    let text = fs::read_to_string(file).unwrap();
    for item in syn::parse_file(&text).unwrap().items {
        let Item::Impl(block) = item else { continue };
        let Type::Path(of) = &*block.self_ty else {
            continue;
        };
        let of = of.path.segments.last().unwrap().ident.to_string();
        if block.trait_.is_some() || !TYPES.contains(&of.as_str()) {
            continue;
        }
        for item in block.items {
            if let ImplItem::Fn(method) = item
                && matches!(method.vis, Visibility::Public(_))
            {
                into.insert(format!("{of}::{}", method.sig.ident), arguments(&method));
            }
        }
    }
}

fn arguments(method: &ImplItemFn) -> String {
    let types: Vec<_> = method
        .sig
        .inputs
        .iter()
        .map(|argument| match argument {
            FnArg::Receiver(receiver) => match (&receiver.reference, receiver.mutability) {
                (Some(_), Some(_)) => "&mut self".to_owned(),
                (Some(_), None) => "&self".to_owned(),
                (None, _) => "self".to_owned(),
            },
            FnArg::Typed(typed) => typed
                .ty
                .to_token_stream()
                .to_string()
                .replace(' ', "")
                .replace("<DB::ConnectionasConnection>::Options", "OptionsOf<DB>"),
        })
        .collect();
    types.join(", ")
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sqlx_core() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(here())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sqlx_core = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|package| package["name"] == "sqlx-core")
        .unwrap();
    let manifest = Path::new(sqlx_core["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().to_owned()
}

/// The rows of the tables: method, verdict.
fn rows() -> BTreeMap<String, String> {
    let text = fs::read_to_string(here().join("docs/migrating.md")).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, method, verdict, _, _] = cells[..] else {
            continue;
        };
        let method = method.trim_matches('`');
        if let Some((of, _)) = method.split_once("::")
            && TYPES.contains(&of)
        {
            let twice = rows.insert(method.to_owned(), verdict.to_owned());
            assert!(twice.is_none(), "{method} has two rows");
        }
    }
    rows
}

#[test]
fn every_method_of_sqlxs_pool_has_its_row_and_what_that_promises() {
    let mut theirs = Methods::new();
    for file in ["mod", "options", "connection"] {
        methods(
            &sqlx_core().join(format!("src/pool/{file}.rs")),
            &mut theirs,
        );
    }
    assert!(theirs.len() > 40, "{theirs:?}");
    let mut ours = Methods::new();
    for file in [
        "pool",
        "open",
        "transaction",
        "options",
        "options/callbacks",
        "connection",
        "close_event",
    ] {
        methods(&here().join(format!("src/{file}.rs")), &mut ours);
    }
    let rows = rows();

    let mut wrong = Vec::new();
    for (method, their_arguments) in &theirs {
        let Some(verdict) = rows.get(method) else {
            wrong.push(format!("{method}({their_arguments}) has no row"));
            continue;
        };
        match (verdict.as_str(), ours.get(method)) {
            ("same" | "differs", Some(our_arguments)) => {
                if our_arguments != their_arguments {
                    wrong.push(format!(
                        "{method} takes ({our_arguments}), and sqlx's ({their_arguments})"
                    ));
                }
            }
            ("wider", Some(_)) | ("none", None) => {}
            (verdict, found) => wrong.push(format!("{method} is `{verdict}`, but is {found:?}")),
        }
    }
    for method in rows.keys() {
        if !theirs.contains_key(method) {
            wrong.push(format!("sqlx has no {method}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The traits that sqlx's users may rely on without naming them.
#[test]
fn the_types_are_as_shareable_as_sqlxs() {
    fn shared<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    shared::<sqlx_rds::PgPool>();
    shared::<sqlx_rds::PgPoolOptions>();
    shared::<sqlx_rds::PoolConnection<sqlx::MySql>>();
    shared::<sqlx_rds::PoolConnectionMetadata>();
    shared::<sqlx_rds::pool::CloseEvent>();
    fn cloned<T: Clone>() {}
    cloned::<sqlx_rds::PgPool>();
    cloned::<sqlx_rds::PgPoolOptions>();
    fn fused<T: futures_util::future::FusedFuture<Output = ()>>() {}
    fused::<sqlx_rds::pool::CloseEvent>();
    fn derefs<T: std::ops::DerefMut<Target = sqlx::PgConnection>>() {}
    derefs::<sqlx_rds::PoolConnection<sqlx::Postgres>>();
}
