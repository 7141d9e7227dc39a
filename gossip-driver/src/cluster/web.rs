//! WebSocket at the handle: where the node listens, and connections from a server of the application.

use std::fmt;

use async_channel::Sender;
use tracing::warn;

use super::Cluster;
use crate::runtime::Runtime;
use crate::transport::websocket::{self, Doorway};
use crate::{ByteStream, Bytewise, StopReason, Token, WebAddress};

/// What handles know of WebSocket.
pub(crate) struct Web {
    /// Where the node listens, if it does.
    pub(crate) url: Option<WebAddress>,
    pub(crate) token: Option<Token>,
    /// Connections from a server of the application.
    pub(crate) mounted: Sender<ByteStream>,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("url", &self.url).finish_non_exhaustive()
    }
}

impl<R: Runtime> Cluster<R> {
    /// Where this node listens for WebSocket, with the port that it has.
    pub fn web_address(&self) -> Option<&WebAddress> {
        self.handle.web.url.as_ref()
    }

    /// What a server of the application is to answer to a request on the route that it has for this node: status 101
    /// and the headers of a WebSocket handshake, or what is wrong with the request, its token included.
    ///
    /// After an answer with status 101, the connection belongs to [`accept_websocket`](Self::accept_websocket).
    pub fn answer_websocket<B>(&self, request: &http::Request<B>) -> http::Response<String> {
        let doorway = Doorway { path: None, token: self.handle.web.token.as_ref() };
        let (response, refusal) = websocket::answered(&doorway, request);
        if let Some(refusal) = refusal {
            warn!(%refusal, "refused a request on the route for gossip");
        }
        response
    }

    /// Takes in a connection that a server of the application has upgraded to WebSocket, with the answer of
    /// [`answer_websocket`](Self::answer_websocket).
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn accept_websocket(&self, stream: impl Bytewise) -> Result<(), StopReason> {
        match self.handle.web.mounted.send(Box::new(stream)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.stopped().await),
        }
    }
}
