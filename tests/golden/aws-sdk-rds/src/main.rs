//! Writes the `aws_sdk_rds` and `why_not` columns of `tests/golden/tokens.json`.
//!
//! `cargo run -p sqlx-rds-golden-aws-sdk` writes them; with `-- --check` nothing is written and
//! the exit status is 1 if they would change. The inputs and the `botocore` column belong to
//! `make_botocore.py`.

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use aws_sdk_rds::auth_token::{AuthTokenGenerator, Config};
use aws_sdk_rds::config::{Credentials, Region, SharedCredentialsProvider};
use aws_types::SdkConfig;
use aws_types::sdk_config::{SharedTimeSource, TimeSource};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// One row. The order of the fields is their order in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    host: String,
    port: u16,
    username: String,
    region: String,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    signed_at: u64,
    expires: u64,
    botocore: String,
    aws_sdk_rds: Option<String>,
    why_not: Option<String>,
}

/// A clock that stands still.
#[derive(Debug)]
struct At(SystemTime);

impl TimeSource for At {
    fn now(&self) -> SystemTime {
        self.0
    }
}

/// The SDK's token as it comes, or what the SDK said instead.
fn sign(case: &Case) -> Result<String, String> {
    let credentials = Credentials::new(
        &case.access_key_id,
        &case.secret_access_key,
        case.session_token.clone(),
        None,
        "golden",
    );
    let sdk_config = SdkConfig::builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .time_source(SharedTimeSource::new(At(
            SystemTime::UNIX_EPOCH + Duration::from_secs(case.signed_at)
        )))
        .build();
    let config = Config::builder()
        .hostname(&case.host)
        .port(case.port.into())
        .region(Region::new(case.region.clone()))
        .username(&case.username)
        .expires_in(case.expires)
        .build()
        .map_err(|error| format!("refuses: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(AuthTokenGenerator::new(config).auth_token(&sdk_config))
    }))
    .map_err(|panic| format!("panics: {}", said(panic.as_ref())))?
    .map(|token| token.as_str().to_owned())
    .map_err(|error| format!("refuses: {error}"))
}

/// The text a panic carried.
fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(no text)")
}

/// Everything that stops a token from being a login of this case's user, in one sentence.
fn flaw(case: &Case, token: &str) -> Option<String> {
    let mut flaws = Vec::new();
    let (url, fragment) = token
        .split_once('#')
        .map_or((token, None), |(u, f)| (u, Some(f)));
    if fragment.is_some() {
        flaws.push("a '#' cuts the query short".to_owned());
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut names = Vec::new();
    for (name, value) in query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    {
        if names.contains(&name) {
            flaws.push(format!("there are two of {name}"));
        }
        names.push(name);
        if !(name == "Action" || name == "DBUser" || name.starts_with("X-Amz-")) {
            flaws.push(format!("there is a parameter {name}"));
        }
        let value = percent_decode_str(value).decode_utf8_lossy();
        if name == "DBUser" && value != case.username {
            flaws.push(format!("DBUser reads back as {value}"));
        }
    }
    if signature(token) != signature(&case.botocore) {
        flaws.push("the signature is not the one for these inputs".to_owned());
    }
    (!flaws.is_empty()).then(|| format!("corrupts: {}", flaws.join("; ")))
}

/// The signature in a token of either maker; it need not come last.
fn signature(token: &str) -> Option<&str> {
    token
        .split('&')
        .find_map(|pair| pair.strip_prefix("X-Amz-Signature="))
}

/// The row with this crate's two columns made anew.
fn remade(case: &Case) -> Case {
    let made = sign(case).and_then(|token| match flaw(case, &token) {
        Some(flaw) => Err(flaw),
        None => Ok(token),
    });
    let (aws_sdk_rds, why_not) = match made {
        Ok(token) => (Some(token), None),
        Err(why_not) => (None, Some(why_not)),
    };
    Case {
        aws_sdk_rds,
        why_not,
        ..case.clone()
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let check = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        other => return Err(format!("unknown arguments {other:?}: only --check is known").into()),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tokens.json");
    let old: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(&path)?)?;

    // Panics are expected here, and land in the table.
    std::panic::set_hook(Box::new(|_| ()));
    let new: Vec<Case> = old.iter().map(remade).collect();
    drop(std::panic::take_hook());

    let made = new.iter().filter(|case| case.aws_sdk_rds.is_some()).count();
    println!("{} cases, of which aws-sdk-rds can make {made}", new.len());
    if !check {
        std::fs::write(&path, serde_json::to_string_pretty(&new)? + "\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let differing = old.iter().zip(&new).filter(|(old, new)| old != new);
    let count = differing
        .inspect(|(old, _)| eprintln!("differs: {}", old.name))
        .count();
    Ok(if count == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
