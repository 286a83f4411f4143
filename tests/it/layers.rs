//! The architecture, held by a test: imports point down one order, files stay small, each power
//! sits in one place, and every future says what dropping it does. `docs/architecture.md` tells why.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, ItemFn, Signature, TraitItemFn, Visibility};

/// From words to facade. A module may use those of lower layers, and of its own layer those above
/// it in the same row; nothing else.
const LAYERS: &[&[&str]] = &[
    &[
        "kind",
        "error",
        "data_api_error",
        "clock",
        "random",
        "password",
        "endpoint",
        "telemetry",
    ],
    &[
        "sign",
        "classify",
        "backoff",
        "cap",
        "capacity",
        "plan",
        "fleet",
        "epoch",
        "parked",
        "ceiling",
        "breaker",
        "budget",
        "retry_policy",
    ],
    &[
        "login", "retry", "deadline", "tls", "quota", "census", "queue", "limiter",
    ],
    &["engine", "url", "connect_options", "hooks", "connector"],
    &[
        "options",
        "target",
        "shared",
        "managed",
        "manager",
        "neighbour",
    ],
    &[
        "close_event",
        "keeper",
        "connection",
        "shell",
        "pool",
        "open",
        "executor",
        "transaction",
        "retrying",
        "stub",
        "sqlx_pool",
    ],
    &["data_api"],
    &["idempotency", "lambda"],
];

/// Uses that go up, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    // A pooled connection carries its shell with it.
    ("managed", "shell"),
];

const MAX_LINES: usize = 400;

fn collect(directory: &Path, into: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            // Tests may look anywhere.
            let code = text.split("\nmod tests").next().unwrap().to_owned();
            into.insert(path, code);
        }
    }
}

fn sources() -> BTreeMap<PathBuf, String> {
    let mut sources = BTreeMap::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut sources,
    );
    // A program uses the crate from outside.
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
    sources.retain(|path, _| !path.ends_with("lib.rs") && !path.starts_with(&programs));
    sources
}

/// The top-level module of a file.
fn module(path: &Path) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let first = path
        .strip_prefix(source)
        .unwrap()
        .iter()
        .next()
        .unwrap()
        .to_str()
        .unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn rank(module: &str) -> (usize, usize) {
    for (layer, row) in LAYERS.iter().enumerate() {
        if let Some(place) = row.iter().position(|name| *name == module) {
            return (layer, place);
        }
    }
    panic!("`{module}` has no place in tests/it/layers.rs: give it one");
}

/// The modules that a file names by `crate::`.
fn uses(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
    {
        for part in line.split("crate::").skip(1) {
            let names = match part.strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap().split(", ").collect(),
                None => vec![part],
            };
            for name in names {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
                found.push(name[..end.unwrap_or(name.len())].to_owned());
            }
        }
    }
    found
}

#[test]
fn imports_point_down() {
    let mut broken = Vec::new();
    let mut excepted = Vec::new();
    for (path, code) in sources() {
        let user = module(&path);
        for used in uses(&code) {
            if used == user || rank(&used) < rank(&user) {
                continue;
            }
            match EXCEPTIONS
                .iter()
                .find(|pair| **pair == (user.as_str(), used.as_str()))
            {
                Some(pair) => excepted.push(*pair),
                None => broken.push(format!("{}: {user} uses {used}", path.display())),
            }
        }
    }
    assert!(
        broken.is_empty(),
        "imports that go up:\n{}",
        broken.join("\n")
    );
    for pair in EXCEPTIONS {
        assert!(excepted.contains(pair), "{pair:?} is no longer needed");
    }
}

#[test]
fn files_stay_small() {
    let mut all = sources();
    let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox/src");
    collect(&sandbox, &mut all);
    for (path, code) in all {
        let lines = code.lines().count();
        assert!(
            lines <= MAX_LINES,
            "{} has {lines} lines: split it by noun",
            path.display()
        );
    }
}

#[test]
fn rules_are_pure() {
    for (path, code) in sources() {
        let user = module(&path);
        if rank(&user).0 != 1 {
            continue;
        }
        for impure in [
            "Instant",
            "::now(",
            "random::",
            "telemetry",
            "tokio",
            "std::env",
            "std::fs",
        ] {
            let used = code.lines().any(|line| {
                let line = line.trim_start();
                line.contains(impure) && !line.starts_with("//")
            });
            assert!(!used, "{user} names {impure}");
        }
    }
}

#[test]
fn tasks_are_spawned_in_few_places() {
    for (path, code) in sources() {
        let spawns = code.contains("spawn(");
        // `stub` connects for sqlx's own pool: one task listens, and one makes each connection.
        let may = ["connection", "managed", "keeper", "stub"].contains(&module(&path).as_str());
        assert!(!spawns || may, "{} spawns a task", path.display());
    }
}

#[test]
fn each_power_sits_in_one_place() {
    for (what, places) in [
        ("SystemTime::now", &["clock"][..]),
        (".expose()", &["engine"]),
        ("aws_sigv4::", &["sign"]),
        (
            "deadpool::",
            &["manager", "neighbour", "pool", "connection", "keeper"],
        ),
        ("tracing::", &["telemetry", "connector", "retrying"]),
        // `engine` passes a server's error on to sqlx's own pool, field by field.
        ("PgDatabaseError", &["classify", "engine"]),
        ("PgConnectOptions", &["engine", "connect_options"]),
    ] {
        for (path, code) in sources() {
            let used = code.lines().any(|line| {
                let line = line.trim_start();
                line.contains(what) && !line.starts_with("//")
            });
            let module = module(&path);
            assert!(
                !used || places.contains(&module.as_str()),
                "{} names `{what}`, which belongs to {places:?}",
                path.display()
            );
        }
    }
}

/// Collects public functions that give a future and do not document what cancelling it does.
#[derive(Default)]
struct Futures {
    seen: usize,
    silent: Vec<String>,
}

impl Futures {
    fn judge(&mut self, signature: &Signature, attributes: &[Attribute]) {
        let returned = signature.output.to_token_stream().to_string();
        if signature.asyncness.is_none()
            && !returned.contains("impl Future")
            && !returned.contains("BoxFuture")
        {
            return;
        }
        self.seen += 1;
        let documented = attributes.iter().any(|attribute| {
            attribute
                .to_token_stream()
                .to_string()
                .contains("# Cancel safety")
        });
        if !documented {
            self.silent.push(signature.ident.to_string());
        }
    }
}

impl<'ast> Visit<'ast> for Futures {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if matches!(item.vis, Visibility::Public(_)) {
            self.judge(&item.sig, &item.attrs);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if matches!(item.vis, Visibility::Public(_)) {
            self.judge(&item.sig, &item.attrs);
        }
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        if matches!(item.vis, Visibility::Public(_)) {
            visit::visit_item_trait(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        self.judge(&item.sig, &item.attrs);
    }
}

#[test]
fn public_futures_document_their_cancel_safety() {
    let mut futures = Futures::default();
    for path in sources().into_keys() {
        let text = fs::read_to_string(&path).unwrap();
        futures.visit_file(&syn::parse_file(&text).unwrap());
    }
    assert!(
        futures.seen > 10,
        "only {} futures were found",
        futures.seen
    );
    assert!(
        futures.silent.is_empty(),
        "say what cancelling does: {:?}",
        futures.silent
    );
}

/// Sees to it that every test exists that a page names, as `module::test`; counts them.
fn tests_named_on(page: &str) -> usize {
    tests_of(page, "tests/it")
}

fn tests_of(page: &str, tests: &str) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs").join(page)).unwrap();
    let is_name = |word: &str| {
        word.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let named = text
        .split('`')
        .filter_map(|word| word.split_once("::"))
        // Types and their methods have capitals.
        .filter(|(module, test)| is_name(module) && is_name(test) && *module != "sqlx_rds");
    let mut seen = 0;
    for (module, test) in named {
        let file = root.join(tests).join(module).with_extension("rs");
        let code = fs::read_to_string(&file).unwrap_or_default();
        let starts = ["<", "("].map(|next| format!("fn {test}{next}"));
        assert!(
            starts.iter().any(|start| code.contains(start)),
            "{page} names {module}::{test}"
        );
        seen += 1;
    }
    seen
}

#[test]
fn the_page_on_reliability_names_tests_that_exist() {
    assert!(tests_named_on("reliability.md") > 20);
}

#[test]
fn the_page_on_secrets_names_tests_that_exist() {
    assert!(tests_named_on("secrets.md") > 12);
}

#[test]
fn the_page_on_dsql_names_tests_that_exist() {
    assert!(tests_named_on("dsql.md") > 4);
}

#[test]
fn the_page_on_the_data_api_names_tests_that_exist() {
    assert!(tests_named_on("data-api.md") > 8);
}

#[test]
fn the_page_on_the_sandboxs_data_api_names_tests_that_exist() {
    assert!(tests_of("data-api-sandbox.md", "sandbox/tests/it") > 8);
}

#[test]
fn the_page_on_idempotency_names_tests_that_exist() {
    assert!(tests_named_on("idempotency.md") > 10);
}

#[test]
fn the_page_on_settings_names_them_all() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/settings.md")).unwrap();
    let connect_options = fs::read_dir(root.join("src/connect_options")).unwrap();
    let mut files: Vec<_> = connect_options.map(|file| file.unwrap().path()).collect();
    files.extend(
        [
            "options",
            "options/callbacks",
            "connect_options",
            "retry_policy",
            "idempotency/mod",
            "lambda/sqs",
            "login/secret/agent",
            "data_api/options",
        ]
        .map(|file| root.join("src").join(file).with_extension("rs")),
    );
    let mut seen = 0;
    for file in files {
        let code = fs::read_to_string(&file).unwrap();
        for line in code.lines().map(str::trim) {
            let Some(rest) = line.strip_prefix("pub fn ") else {
                continue;
            };
            if rest.contains("(mut self") || rest.contains("(self,") {
                let name = rest.split(['(', '<']).next().unwrap();
                assert!(page.contains(&format!("`{name}`")), "{name}");
                seen += 1;
            }
        }
    }
    assert!(seen > 35, "{seen}");
}

#[test]
fn the_page_on_lambda_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/lambda.md")).unwrap();
    let tests = [
        "tests/it/lambda.rs",
        "tests/it/sqs.rs",
        "tests/it/retrying.rs",
        "tests/it/idempotency.rs",
        "tests/apps/lambda.rs",
    ];
    let code = tests.map(|test| fs::read_to_string(root.join(test)).unwrap());
    let mut seen = 0;
    for name in page
        .split('`')
        .filter(|word| word.matches('_').count() >= 4 && !word.contains(char::is_whitespace))
    {
        let start = format!("async fn {name}");
        assert!(code.iter().any(|code| code.contains(&start)), "{name}");
        seen += 1;
    }
    assert!(seen > 8);
}
