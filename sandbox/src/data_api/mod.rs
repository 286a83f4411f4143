//! The RDS Data API: SQL over HTTP.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::secrets::Secrets;
use crate::{AwsKeys, Clock, Engine, Error, LOOPBACK};

mod cluster;
mod exception;
mod fault;
mod field;
mod http;
mod model;
mod mysql;
mod operation;
mod options;
mod outcome;
mod postgres;
mod request;
mod scanner;
mod session;
mod statement;
mod transaction;

pub(crate) use cluster::Cluster;
pub use fault::{DataApiFailure, DataApiFault, DataApiOperation, DataApiRefusal};
pub use options::DataApiOptions;

use http::{Line, Lines};
use transaction::Transactions;

/// A stand-in for the RDS Data API as Aurora Serverless v2 and provisioned clusters have it, on the
/// sandbox's real servers, with signatures verified.
///
/// It binds parameters by the type of their value, as the service does, so that what fails there
/// for want of a cast fails here; it keeps each transaction on a connection of its own, and rolls
/// it back after 3 min without a call, or 24 h in all, by the [clock](crate::Sandbox::clock).
/// Signatures are judged by this machine's clock. Dropping it stops listening.
pub struct DataApi {
    shared: Arc<Shared>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

struct Shared {
    keys: AwsKeys,
    options: DataApiOptions,
    clusters: Vec<Cluster>,
    secrets: Secrets,
    transactions: Arc<Transactions>,
    faults: Mutex<VecDeque<(Option<DataApiOperation>, DataApiFault)>>,
}

impl DataApi {
    pub(crate) async fn start(
        keys: AwsKeys,
        clock: Clock,
        options: DataApiOptions,
        clusters: Vec<Cluster>,
        secrets: Secrets,
    ) -> Result<Self, Error> {
        let failed = || Error::io("listen for the Data API");
        let listener = TcpListener::bind(LOOPBACK).await.map_err(failed())?;
        let address = listener.local_addr().map_err(failed())?;
        let shared = Arc::new(Shared {
            keys,
            options,
            clusters,
            secrets,
            transactions: Transactions::new(clock),
            faults: Mutex::default(),
        });
        let router = http::router(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<Line>();
        let serving = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(Lines(listener), service).await;
        });
        Ok(Self {
            shared,
            address,
            serving,
        })
    }

    /// What to set as `AWS_ENDPOINT_URL_RDS_DATA`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The ARN of an engine's cluster, if the sandbox was built with the engine.
    pub fn resource_arn(&self, engine: Engine) -> Option<&str> {
        self.cluster(engine).map(|cluster| cluster.arn.as_str())
    }

    /// The ARN of the secret that belongs to it. Its user may do what `app` may, and on PostgreSQL
    /// becomes `app`. Other secrets of the sandbox work as well.
    pub fn secret_arn(&self, engine: Engine) -> Option<&str> {
        self.cluster(engine)
            .map(|cluster| cluster.secret_arn.as_str())
    }

    /// Plays a fault to the next requests, of any operation.
    pub fn play_next(&self, requests: usize, fault: DataApiFault) {
        self.order(None, requests, fault);
    }

    /// Plays a fault to the next requests of one operation.
    pub fn play_next_of(&self, operation: DataApiOperation, requests: usize, fault: DataApiFault) {
        self.order(Some(operation), requests, fault);
    }

    /// Rolls all transactions back as if their time were over, and returns how many they were.
    /// Waits for statements that run.
    pub async fn expire_transactions(&self) -> usize {
        self.shared.transactions.end_all().await
    }

    /// How many transactions are open.
    pub fn transactions(&self) -> usize {
        self.shared.transactions.count()
    }

    fn order(&self, operation: Option<DataApiOperation>, requests: usize, fault: DataApiFault) {
        let ordered = std::iter::repeat_n((operation, fault), requests);
        self.shared.faults().extend(ordered);
    }

    fn cluster(&self, engine: Engine) -> Option<&Cluster> {
        let mut clusters = self.shared.clusters.iter();
        clusters.find(|cluster| cluster.engine == engine)
    }
}

impl Drop for DataApi {
    fn drop(&mut self) {
        self.serving.abort();
        self.shared.transactions.drop_all();
    }
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, VecDeque<(Option<DataApiOperation>, DataApiFault)>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that was ordered for this request, if any.
    fn next_fault(&self, operation: DataApiOperation) -> Option<DataApiFault> {
        let mut faults = self.faults();
        let meant = |(of, fault): &(Option<DataApiOperation>, DataApiFault)| {
            of.is_none_or(|of| of == operation) && fault.fits(operation)
        };
        let at = faults.iter().position(meant)?;
        faults.remove(at).map(|(_, fault)| fault)
    }
}
