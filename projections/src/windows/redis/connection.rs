//! The connection to one server, to the server that sentinels name, or to a cluster: one for all calls,
//! shared, and made again when it is lost. Which of the three is known only here.

use std::sync::Arc;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, RedisConnectionInfo, RedisError, RedisResult, TlsMode, Value,
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::RedisOptions;
use super::address::Topology;
use crate::projection::together;

/// How many calls wait in a connection's queue before the next one waits for a place.
const QUEUE_LEN: usize = 1_024;
/// How often a lost connection is tried again before the calls that wait for it fail.
const RECONNECTS: usize = 3;

pub(super) enum Connection {
    Single {
        client: Client,
        manager: ConnectionManager,
    },
    Sentinel {
        sentinels: Arc<Mutex<SentinelClient>>,
        options: AsyncConnectionConfig,
        /// `None` after it was lost: the server may be another one.
        current: Mutex<Option<MultiplexedConnection>>,
    },
    Cluster {
        /// Messages are told on every node.
        seeds: Vec<Client>,
        connection: ClusterConnection,
    },
}

impl Connection {
    pub(super) async fn open(options: &RedisOptions) -> RedisResult<Self> {
        match &options.address.topology {
            Topology::Single => Self::open_single(options).await,
            Topology::Sentinel { name } => Self::open_sentinel(options, name).await,
            Topology::Cluster => Self::open_cluster(options).await,
        }
    }

    async fn open_single(options: &RedisOptions) -> RedisResult<Self> {
        let client = clients(options)?.remove(0);
        // Once, without trying again: who starts hears at once what is wrong.
        client
            .get_multiplexed_async_connection_with_config(&plain(options))
            .await?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.response_timeout))
            .set_max_delay(options.reconnect_delay_max)
            .set_number_of_retries(RECONNECTS)
            .set_pipeline_buffer_size(QUEUE_LEN);
        let manager = ConnectionManager::new_with_config(client.clone(), config).await?;
        Ok(Self::Single { client, manager })
    }

    async fn open_sentinel(options: &RedisOptions, name: &str) -> RedisResult<Self> {
        let address = &options.address;
        let mut builder =
            SentinelClientBuilder::new(places(options), name, SentinelServerType::Master)?
                .set_client_to_redis_db(i64::from(address.database));
        if address.is_tls {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(user) = &address.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &options.password {
            builder = builder.set_client_to_redis_password(password.expose_secret());
        }
        let opened = Self::Sentinel {
            sentinels: Arc::new(Mutex::new(builder.build()?)),
            options: plain(options),
            current: Mutex::default(),
        };
        opened.query(&redis::cmd("PING")).await?;
        Ok(opened)
    }

    async fn open_cluster(options: &RedisOptions) -> RedisResult<Self> {
        let seeds = clients(options)?;
        let nodes = seeds.iter().map(|seed| seed.get_connection_info().clone());
        let client = ClusterClient::builder(nodes.collect::<Vec<ConnectionInfo>>())
            .connection_timeout(options.connect_timeout)
            .response_timeout(options.response_timeout)
            .build()?;
        let connection = client.get_async_connection().await?;
        Ok(Self::Cluster { seeds, connection })
    }

    pub(super) async fn query(&self, call: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single { manager, .. } => call.query_async(&mut manager.clone()).await,
            Self::Cluster { connection, .. } => call.query_async(&mut connection.clone()).await,
            Self::Sentinel { current, .. } => {
                let called = call.query_async(&mut self.named().await?).await;
                if called.as_ref().is_err_and(is_elsewhere) {
                    current.lock().await.take();
                }
                called
            }
        }
    }

    /// Sends calls in one write, and none waits for another's answer; the outcomes in their order. In a
    /// cluster each goes to its node, whose connection gathers what is there to be sent.
    pub(super) async fn query_all(&self, calls: &Pipeline) -> Vec<RedisResult<Value>> {
        let len = calls.cmd_iter().count();
        let called: RedisResult<Vec<RedisResult<Value>>> = match self {
            Self::Single { manager, .. } => calls.query_async(&mut manager.clone()).await,
            Self::Cluster { .. } => {
                let each = calls.cmd_iter().map(|call| self.query(call));
                Ok(together(len, each.collect()).await)
            }
            Self::Sentinel { current, .. } => {
                let called = match self.named().await {
                    Ok(mut connection) => calls.query_async(&mut connection).await,
                    Err(error) => Err(error),
                };
                if find_error(&called).is_some_and(is_elsewhere) {
                    current.lock().await.take();
                }
                called
            }
        };
        called.unwrap_or_else(|error| vec![Err(error); len])
    }

    /// The connection to the server that sentinels name.
    async fn named(&self) -> RedisResult<MultiplexedConnection> {
        let Self::Sentinel {
            sentinels,
            options,
            current,
        } = self
        else {
            unreachable!("only sentinels name a server");
        };
        if let Some(connection) = current.lock().await.clone() {
            return Ok(connection);
        }
        let client = sentinels.lock().await.async_get_client().await?;
        let connecting = client.get_multiplexed_async_connection_with_config(options);
        let connection = connecting.await?;
        Ok(current.lock().await.insert(connection).clone())
    }

    /// A connection of its own to hear messages.
    pub(super) async fn subscriber(&self, options: &RedisOptions) -> RedisResult<PubSub> {
        let connect = async {
            match self {
                Self::Single { client, .. } => client.get_async_pubsub().await,
                Self::Sentinel { sentinels, .. } => {
                    let client = sentinels.lock().await.async_get_client().await?;
                    client.get_async_pubsub().await
                }
                Self::Cluster { seeds, .. } => {
                    let mut tried = seeds[0].get_async_pubsub().await;
                    for seed in &seeds[1..] {
                        if tried.is_err() {
                            tried = seed.get_async_pubsub().await;
                        }
                    }
                    tried
                }
            }
        };
        let connected = timeout(options.connect_timeout, connect).await;
        connected.unwrap_or_else(|late| Err(RedisError::from(std::io::Error::from(late))))
    }
}

/// What went wrong with calls, or with one of them.
fn find_error(called: &RedisResult<Vec<RedisResult<Value>>>) -> Option<&RedisError> {
    match called {
        Ok(each) => each.iter().find_map(|called| called.as_ref().err()),
        Err(error) => Some(error),
    }
}

/// Whether the server is gone, or is no longer the one that is written to.
fn is_elsewhere(error: &RedisError) -> bool {
    error.is_io_error() || error.is_cluster_error() || error.code() == Some("READONLY")
}

fn plain(options: &RedisOptions) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(options.connect_timeout))
        .set_response_timeout(Some(options.response_timeout))
        .set_pipeline_buffer_size(QUEUE_LEN)
}

/// A client of each node.
fn clients(options: &RedisOptions) -> RedisResult<Vec<Client>> {
    let address = &options.address;
    let mut login = RedisConnectionInfo::default().set_db(i64::from(address.database));
    if let Some(user) = &address.user {
        login = login.set_username(user);
    }
    if let Some(password) = &options.password {
        login = login.set_password(password.expose_secret());
    }
    let client = |place: ConnectionAddr| {
        let node = place.into_connection_info()?;
        Client::open(node.set_redis_settings(login.clone()))
    };
    places(options).into_iter().map(client).collect()
}

fn places(options: &RedisOptions) -> Vec<ConnectionAddr> {
    let place = |(host, port): &(String, u16)| match options.address.is_tls {
        false => ConnectionAddr::Tcp(host.clone(), *port),
        true => ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: false,
            tls_params: None,
        },
    };
    options.address.nodes.iter().map(place).collect()
}
