//! A cluster on one machine that talks over Unix sockets in a directory, and opens no port.
//!
//! ```text
//! cargo run --example unix_socket
//! ```
//!
//! A node opens and accepts connections by what it is given in place of TCP. Addresses are then what both make of them:
//! here `tcp://10.0.0.2:1` is the socket `10.0.0.2` in the directory.

#[cfg(not(unix))]
fn main() {
    eprintln!("this system has no Unix sockets");
}

#[cfg(unix)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    unix::run().await
}

#[cfg(unix)]
mod unix {
    use std::error::Error;
    use std::io;
    use std::path::{Path, PathBuf};

    use gossip_tokio::{
        Accepting, Acceptor, BroadcastOptions, ByteStream, Cluster, Config, Dialer, Dialing, Message, MessageType,
        NodeAddress,
    };
    use tokio::net::{UnixListener, UnixStream};
    use tokio_util::compat::TokioAsyncReadCompatExt;

    const NODES: u8 = 4;
    const GREETING: MessageType = match MessageType::user(200) {
        Ok(kind) => kind,
        Err(_) => panic!("200 is for applications"),
    };

    /// The sockets of all nodes.
    #[derive(Clone)]
    struct Directory(PathBuf);

    impl Directory {
        fn socket_of(&self, address: &NodeAddress) -> io::Result<PathBuf> {
            let address = address.socket_address().ok_or(io::ErrorKind::Unsupported)?;
            Ok(self.0.join(address.ip().to_string()))
        }
    }

    impl Dialer for Directory {
        fn dial<'a>(&'a self, to: &'a NodeAddress) -> Dialing<'a> {
            Box::pin(async move {
                let stream = UnixStream::connect(self.socket_of(to)?).await?;
                Ok(Box::new(stream.compat()) as ByteStream)
            })
        }
    }

    struct Door(UnixListener);

    impl Acceptor for Door {
        fn accept(&self) -> Accepting<'_> {
            Box::pin(async {
                let (stream, _) = self.0.accept().await?;
                Ok(Box::new(stream.compat()) as ByteStream)
            })
        }
    }

    async fn start(directory: &Path, number: u8) -> Result<Cluster, Box<dyn Error>> {
        let directory = Directory(directory.to_owned());
        let address: NodeAddress = format!("tcp://10.0.0.{number}:1").parse()?;
        let door = Door(UnixListener::bind(directory.socket_of(&address)?)?);
        let config = Config::local("example").advertise(address.to_string()).dialer(directory).acceptor(door);
        Ok(Cluster::start(config).await?)
    }

    pub(super) async fn run() -> Result<(), Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let mut nodes = Vec::new();
        for number in 1..=NODES {
            let node = start(directory.path(), number).await?;
            node.handle_messages(GREETING, move |message: Message| async move {
                let text: Result<String, _> = message.payload.decode();
                println!("node {number} hears {text:?}");
            })?;
            if number > 1 {
                node.join(["tcp://10.0.0.1:1"]).await?;
            }
            nodes.push(node);
        }
        let everybody = usize::from(NODES);
        for node in &nodes {
            let mut events = node.events();
            while node.members().alive().count() < everybody {
                events.next().await.ok_or("the node has stopped")?;
            }
            println!("{} sees all {everybody}", node.address());
        }
        let options = BroadcastOptions { reliable: true, ..BroadcastOptions::new() };
        nodes[0].broadcast(GREETING, &"good morning", options).await?;
        for node in nodes.iter().rev() {
            let report = node.leave().await?;
            println!("{} has left; {} acknowledged it", node.address(), report.acknowledged);
            node.shutdown().await;
        }
        Ok(())
    }
}
