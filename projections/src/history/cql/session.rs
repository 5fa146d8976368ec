//! The connections to the servers, and how long anything may take on them.

use std::sync::Arc;
use std::time::Duration;

use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::Consistency;
use secrecy::{ExposeSecret, SecretString};

use super::address::CqlAddress;
use super::attempts::unavailable;
use super::durability::CommitLog;
use crate::projection::StoreError;

/// How long one request may take.
const REQUEST_WITHIN: Duration = Duration::from_secs(3);
/// A connection that is silent for so long is asked whether it lives…
const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);
/// …and is given up when it does not answer within this.
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(3);
/// How long a server may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Where a history is and who asks.
#[derive(Debug, Clone)]
pub struct CqlOptions {
    /// Where it is.
    pub address: CqlAddress,
    /// Who asks, where the servers want to know.
    pub credentials: Option<CqlCredentials>,
    /// How lazily the servers may sync what they acknowledge.
    pub commit_log: CommitLog,
}

/// A user of the servers.
#[derive(Debug, Clone)]
pub struct CqlCredentials {
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: SecretString,
}

/// Connects to the first of the servers that answers, and through it to all.
pub(super) async fn open(options: &CqlOptions) -> Result<Session, StoreError> {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(REQUEST_WITHIN))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.address.servers)
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(CONNECT_WITHIN)
        .keepalive_interval(KEEPALIVE_EVERY)
        .keepalive_timeout(KEEPALIVE_WITHIN)
        .keyspaces_to_fetch([&options.address.keyspace]);
    if let Some(CqlCredentials { user, password }) = &options.credentials {
        builder = builder.user(user, password.expose_secret());
    }
    let opened = builder.build().await;
    opened.map_err(|error| {
        let servers = options.address.servers.join(", ");
        unavailable(
            "the history's servers",
            format!("no connection to {servers}: {error}"),
        )
    })
}
