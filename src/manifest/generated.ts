/**
 * What a manifest says, before its values are read and defaults are filled in.
 * Generated from schema/ by `npm run generate`; do not edit.
 */

/**
 * The version of this format.
 */
type ApiVersion = 'omni.io/v1alpha1';
type PublicKey = string;
type Name = string;

/**
 * One Layer-2 segment: who is in it reaches everybody else in it, over one interface on each node.
 */
export interface ClusterDocument {
  apiVersion: ApiVersion;
  /**
   * The kind of object.
   */
  kind: 'Cluster';
  metadata: Metadata;
  /**
   * What is wanted of the cluster.
   */
  spec: {
    /**
     * The networks that the VIPs live in. Each node routes them to the cluster's interface, on link.
     *
     * @minItems 1
     * @maxItems 16
     */
    subnets: string[];
    /**
     * The interface's name on each node. At most 14 characters: its counterpart carries an `x` more.
     */
    interface?: string;
    /**
     * The UDP port that every node of the cluster listens on.
     */
    port?: number;
    /**
     * MTU of the interface, in bytes, at least 1280 where a subnet is IPv6. Absent: the smallest MTU of the underlay less the overhead: 74 bytes, or 94 where an endpoint of a member is an IPv6 address. Give it where members are reached by IPv6 through names alone.
     */
    mtu?: number;
    /**
     * When sessions are renewed and given up. `rekeyAfter` plus `handshakeTimeout` must be shorter than `lifetime`, so that a renewal can be tried before the session ends.
     */
    sessions?: {
      /**
       * The age at which the initiator of a session in use renews its keys.
       */
      rekeyAfter?: string;
      /**
       * The age at which a session ends, renewed or not. Traffic goes on this long after an agent was stopped.
       */
      lifetime?: string;
      /**
       * How long a handshake waits for its answer before it is tried again.
       */
      handshakeTimeout?: string;
      /**
       * Whether handshakes mix ML-KEM-768 into the keys, against traffic that is recorded now and read by a quantum computer later. `off`: nodes begin none, and answer those of others. `preferred`: nodes begin with one, and without where a peer does not answer it. `required`: nothing else is begun or answered, and sessions made without are renewed at once.
       */
      postQuantum?: 'off' | 'preferred' | 'required';
    };
    /**
     * What one sender may ask of a node.
     */
    limits?: {
      /**
       * Handshakes per second that one source address may begin (IPv6: one /64); more are dropped in the kernel.
       */
      newSessionsPerSecondPerSource?: number;
    };
    /**
     * Answer ARP and neighbour discovery on the node itself, from the manifests.
     */
    arpSuppression?: boolean;
    /**
     * Keys that every node cuts off as soon as it reads the commit, whatever becomes of the rest of it, and that no rollback lets back in. A Peer of this cluster must not use one.
     *
     * @maxItems 2048
     */
    revokedKeys?: PublicKey[];
    /**
     * Whether members may send from addresses outside of `subnets`. `deny`: a packet's source is an address that a VIP declares for its sender. `allow`: also one that no subnet holds, as for members that route networks behind them. Inside the subnets the source is declared in either case, and ARP and neighbour discovery speak of declared addresses alone.
     */
    foreignSources?: 'deny' | 'allow';
    /**
     * EtherTypes that members may send beside IPv4, IPv6 and ARP. Nothing but the source MAC is looked at in their frames, so that what a host unwraps further cannot be listed.
     *
     * @maxItems 8
     */
    etherTypes?: (number | string)[];
    /**
     * What becomes of broadcast and multicast frames.
     */
    multicast?: {
      /**
       * `none` drops them, at the sender and at the receiver; ARP and neighbour discovery are answered from the manifests. `flood` is kept for a later version, and refused in this one.
       */
      mode?: 'flood' | 'none';
    };
    /**
     * What a node does about drift, that is, differences that no commit asked for. `enforce` heals it, `report` says so in events and status and leaves it. Commits are carried out in both.
     */
    mode?: 'enforce' | 'report';
    /**
     * How a node makes sure that a commit did not cut it off, before it lets go of the one before.
     */
    probation?: {
      /**
       * What passed before a commit must pass again within this time, or the node goes back to its last known good revision.
       */
      confirmWithin?: string;
      /**
       * A commit that a node took back because its probes failed is tried once more after this time, if it is still the newest.
       */
      quarantineFor?: string;
      /**
       * Checks beside the built-in ones (live peers answer, the git remote answers). Exactly one of `tcp`, `ping` and `http` each.
       *
       * @maxItems 32
       *
       * Items: One check. It counts on a node where it passed before the commit.
       */
      probes?: {
        /**
         * Unique among the probes.
         */
        name: string;
        /**
         * A TCP connection is accepted there.
         */
        tcp?: string;
        /**
         * The address answers an ICMP echo request.
         */
        ping?: string;
        /**
         * A GET of this URL is answered with a status from 200 to 399.
         */
        http?: string;
        /**
         * How long one try may take.
         */
        timeout?: string;
      }[];
    };
    /**
     * The cluster's pre-shared key, as `omni seal` writes it: base64 of 32 bytes, encrypted with age to the members' keys, in ASCII armor. Absent: the one of `--psk-file`, or none.
     */
    psk?: string;
    /**
     * A second key that is accepted too, in the same form: for going from one to the other without a gap.
     */
    nextPsk?: string;
  };
}
/**
 * What the object is called.
 */
export interface Metadata {
  /**
   * Unique among the objects of its kind in the whole fleet, whatever file they are in.
   */
  name: string;
  labels?: Labels;
  annotations?: Annotations;
}
/**
 * Your own words to select objects by (`omni get peers -l site=munich`). They decide nothing.
 */
interface Labels {
  [k: string]: string;
}
/**
 * Notes for people and for other tools, such as Argo CD. They decide nothing and are not read.
 */
interface Annotations {
  [k: string]: string;
}
/**
 * A node: who it is and what it is a member of. A node finds itself in the fleet by its own public key.
 */
export interface PeerDocument {
  apiVersion: ApiVersion;
  /**
   * The kind of object.
   */
  kind: 'Peer';
  metadata: Metadata;
  /**
   * What is wanted of the peer.
   */
  spec: {
    /**
     * Names of the Clusters that the node is a member of.
     *
     * @minItems 1
     * @maxItems 16
     */
    clusters: Name[];
    /**
     * The node's identity: its Ed25519 public key, base64 of 32 bytes. `omni init` prints it; the private half never leaves the node.
     */
    publicKey: string;
    /**
     * A second key of the node, while it changes its key: both are accepted, and sessions outlive the swap of the two fields. `omni rotate` makes it and says what to commit.
     */
    nextPublicKey?: string;
    /**
     * Where the node may be reached, best first: `address:port`, `[IPv6]:port` or `name:port`. These are hints: the endpoint that a live session proved wins. With none the node must call first.
     *
     * @maxItems 16
     */
    endpoints?: string[];
    /**
     * How often to send something when nothing else is sent, for nodes behind NAT. Absent: never.
     */
    keepalive?: string;
    /**
     * What the node does for the others beside sending from its own addresses, and which they take from no node without the role. `router`: router advertisements and redirects, of IPv6 and IPv4, and packets from the link-local address that its MAC makes. `dhcp-server`: UDP from port 67 or to port 68 (IPv6: 547, 546).
     *
     * @maxItems 2
     */
    roles?: ('router' | 'dhcp-server')[];
    /**
     * True takes the node out of the data path of every other and keeps its name, keys and VIPs reserved: all checks still hold.
     */
    suspended?: boolean;
  };
}
/**
 * An address inside a cluster, and the peer that holds it. A peer may hold several, of either family.
 */
export interface VIPDocument {
  apiVersion: ApiVersion;
  /**
   * The kind of object.
   */
  kind: 'VIP';
  metadata: Metadata;
  /**
   * What is wanted of the address.
   */
  spec: {
    /**
     * Name of the Cluster that the address is in.
     */
    cluster: string;
    /**
     * An IPv4 or IPv6 address inside one of the cluster's subnets, without a prefix length, unique in the cluster.
     */
    address: string;
    /**
     * Name of the Peer that holds the address. It must be a member of the cluster.
     */
    peer: string;
  };
}
/**
 * What one node's agent is started with: where revisions come from and whose word they need, when they are adopted, and what the agent works on. It is a file of the node, never of the repository: what a commit may do is not for a commit to say.
 */
export interface AgentConfigDocument {
  apiVersion: ApiVersion;
  /**
   * The kind of document.
   */
  kind: 'AgentConfig';
  /**
   * The settings. What is absent has its default, and a flag or an `OMNI_*` variable beats what is here.
   */
  spec: {
    /**
     * Where revisions come from: `remotes` or `directory`. With neither, manifests are handed over by `omni apply`.
     */
    source?: {
      /**
       * One git repository, at one address or several that are tried in turn. `--source URL`, given once or several times, takes their place; a URL that is here too keeps its credentials.
       *
       * @minItems 1
       * @maxItems 8
       */
      remotes?: {
        /**
         * `https`, `ssh`, `http`, `git` or `file`, or `git@host:path`. Without user name and password: command lines are for all to read.
         */
        url: string;
        /**
         * The private key that `ssh` offers, and no other; mode 0600, without passphrase. Absent: those of the agent's user.
         */
        sshKeyFile?: string;
        /**
         * The host keys that `ssh` believes, and no others. Absent: those of the agent's user and of the system.
         */
        knownHostsFile?: string;
        /**
         * The password or token for `https`, on one line; mode 0600. Read anew for each use.
         */
        tokenFile?: string;
        /**
         * The user name that goes with the token.
         */
        username?: string;
        /**
         * The certificate authorities for `https`, PEM, in place of the system's.
         */
        caFile?: string;
      }[];
      /**
       * A folder of manifests, which is watched. It has no history and no signatures.
       */
      directory?: string;
      /**
       * The branch or tag to follow.
       */
      ref?: string;
      /**
       * The folder of the manifests below the source. Absent: all of it.
       */
      path?: string;
      /**
       * How often the remote is asked, give or take a tenth.
       */
      interval?: string;
      /**
       * Whose signatures a revision needs. The keys live on the node: a commit cannot add one.
       */
      verify?: {
        /**
         * `head`: the commit that the ref names must be signed; `every`: each one since the last accepted one, merged ones too.
         */
        commits?: 'off' | 'head' | 'every';
        /**
         * The ref must be an annotated tag that is signed.
         */
        tag?: boolean;
        /**
         * ssh keys that are trusted, in the form of ssh-keygen(1), ALLOWED SIGNERS.
         */
        allowedSignersFile?: string;
        /**
         * ssh keys that are trusted no more, whatever stands above: public keys, or a KRL (ssh-keygen(1)).
         */
        revokedKeysFile?: string;
        /**
         * OpenPGP public keys that are trusted, ASCII armor, as `gpg --export --armor` prints them.
         */
        openpgpKeysFile?: string;
      };
      /**
       * Follow remotes over `http` and `git` without `verify`: whoever is on the path to such a remote decides what this node does. Without it the agent refuses to start with one.
       */
      insecure?: boolean;
      /**
       * Lets a git server say that there is something new. A call is a hint to look now, never a revision.
       */
      webhook?: {
        /**
         * The TCP address to listen on, plain HTTP: GitLab sends its token in clear. Stay on loopback, behind a proxy that does TLS.
         */
        listen?: string;
        /**
         * The secret that the git server was given too, on one line, at least 16 characters; mode 0600.
         */
        secretFile: string;
      };
    };
    /**
     * When a new revision is adopted, and what of it waits for a person.
     */
    rollout?: {
      /**
       * How many objects a revision may take away from what is in force without asking: a number, or a share, which never means less than 5.
       */
      pruneLimit?: number | string;
      /**
       * New revisions are adopted only while one of these is open. Absent: always. Drift is healed at all times.
       *
       * @minItems 1
       * @maxItems 32
       */
      windows?: {
        /**
         * The days on which it opens; one that crosses midnight closes on the next. Absent: each.
         *
         * @minItems 1
         * @maxItems 7
         */
        days?: ('Mon' | 'Tue' | 'Wed' | 'Thu' | 'Fri' | 'Sat' | 'Sun')[];
        /**
         * When it opens.
         */
        from: string;
        /**
         * When it closes; at or before `from` means on the next day.
         */
        to: string;
        /**
         * Whose wall clock that is: a name of the IANA time zone database. Summer time is followed.
         */
        timeZone?: string;
      }[];
      /**
       * Asks the robot's own software before a new revision is adopted: `command` or `socket`.
       */
      busy?: {
        /**
         * A program and its arguments; no shell. Exit code 0 means free; any other means busy, and the first line of stdout says why.
         *
         * @minItems 1
         * @maxItems 64
         */
        command?: string[];
        /**
         * A Unix socket that answers a connection with one line: `free`, or `busy` and the reason.
         */
        socket?: string;
        /**
         * How long the answer may take; then the command is killed with its children.
         */
        timeout?: string;
        /**
         * What it means when there is no answer: no such program, a time-out, a signal, another word.
         */
        onError?: 'busy' | 'free';
      };
    };
    /**
     * What the agent works on.
     */
    node?: {
      /**
       * The interfaces that datagrams come in on. Absent: those with a default route, or a route to a peer's endpoint.
       *
       * @minItems 1
       * @maxItems 16
       */
      underlay?: string[];
      /**
       * The kind of XDP; `auto` is native where an interface can.
       */
      xdpMode?: 'auto' | 'native' | 'generic';
      /**
       * The CPUs that datagrams may be opened on while the one that they arrive on is busy: `auto` is all that the agent may run on, `none` is none. Each peer's datagrams stay in order.
       */
      receiveCpus?: number | string;
      /**
       * The node's key. Absent: `identity.key` in `stateDir`.
       */
      identity?: string;
      /**
       * The cluster's pre-shared key, mode 0600.
       */
      pskFile?: string;
      /**
       * What the node keeps.
       */
      stateDir?: string;
      /**
       * Where maps and programs are pinned.
       */
      bpffs?: string;
    };
    /**
     * Where the agent answers.
     */
    control?: {
      /**
       * The Unix socket of the command line, mode 0600.
       */
      socket?: string;
      /**
       * The TCP address of Prometheus' metrics. Absent: on the socket alone.
       */
      metrics?: string;
    };
    /**
     * What goes to stderr.
     */
    log?: {
      /**
       * Lines for people, or a JSON document a line.
       */
      format?: 'text' | 'json';
      /**
       * The least that is logged.
       */
      level?: 'debug' | 'info' | 'warn' | 'error';
    };
  };
}

/** The rules of schema/rules.json, and what their messages speak of. */
export interface RuleParameters {
  'empty-set': never;
  'no-objects': 'documents' | 'files';
  'set-too-large': 'bytes' | 'limit';
  'too-many-documents': 'limit';
  'file-too-large': 'bytes' | 'limit';
  'document-too-large': 'length' | 'limit';
  'not-utf8': 'offset';
  'control-character': 'code';
  'yaml-syntax': 'problem' | 'advice';
  'yaml-duplicate-key': 'key';
  'yaml-feature': 'feature';
  'yaml-too-deep': 'limit';
  'too-many-errors': 'count';
  'document-not-object': 'actual';
  'too-many-findings': 'limit';
  'api-version-missing': never;
  'api-version-unknown': 'version';
  'kind-missing': never;
  'kind-unknown': 'kind' | 'suggestion';
  'field-unknown': 'where' | 'field' | 'suggestion';
  'field-missing': 'where' | 'field' | 'expected';
  'field-type': 'where' | 'expected' | 'actual' | 'advice';
  'field-value': 'where' | 'actual' | 'expected' | 'advice';
  'key-invalid': 'where' | 'problem';
  'key-not-a-point': 'where' | 'problem';
  'cidr-invalid': 'value' | 'problem';
  'cidr-host-bits': 'value' | 'network';
  'subnet-reserved': 'subnet' | 'reserved';
  'subnet-overlap': 'subnet' | 'other';
  'ethertype-invalid': 'value';
  'ethertype-refused': 'value' | 'problem';
  'multicast-flood': never;
  'address-invalid': 'value' | 'problem';
  'endpoint-invalid': 'value' | 'problem';
  'endpoint-port-missing': 'value' | 'suggestion';
  'tcp-invalid': 'value' | 'problem';
  'url-invalid': 'value' | 'problem';
  'psk-invalid': 'where' | 'problem';
  'probe-kind': 'name' | 'count';
  'probe-duplicate': 'name';
  'duration-invalid': 'value' | 'problem';
  'duration-range': 'where' | 'value' | 'minimum' | 'maximum';
  'session-timers': 'rekeyAfter' | 'handshakeTimeout' | 'lifetime';
  'interface-invalid': 'value' | 'problem';
  'mtu-below-ipv6-minimum': 'mtu' | 'subnet';
  'name-duplicate': 'object';
  'cluster-unknown': 'cluster' | 'suggestion';
  'peer-unknown': 'peer' | 'suggestion';
  'peer-not-member': 'peer' | 'cluster';
  'vip-outside-subnets': 'address' | 'cluster' | 'subnets';
  'vip-reserved-address': 'address' | 'what' | 'subnet';
  'vip-duplicate': 'address' | 'other';
  'key-duplicate': 'key' | 'field' | 'other';
  'key-revoked': 'key' | 'cluster';
  'mac-collision': 'key' | 'what' | 'field' | 'other';
  'clusters-share-subnet': 'cluster' | 'other' | 'peer' | 'subnet' | 'otherSubnet';
  'clusters-share-interface': 'cluster' | 'other' | 'peer' | 'interface' | 'otherInterface';
  'clusters-share-port': 'cluster' | 'other' | 'peer' | 'port';
  'endpoint-inside-subnet': 'endpoint' | 'subnet' | 'cluster';
  'endpoint-duplicate': 'endpoint' | 'other';
  'path-not-absolute': 'where';
  'config-count': 'count';
  'config-kind': 'actual';
  'config-flag': 'key' | 'setting';
  'config-either': 'where' | 'count' | 'choices' | 'advice';
  'remote-invalid': 'problem' | 'advice';
  'remote-duplicate': never;
  'source-invalid': 'problem' | 'advice';
  'verify-keys': never;
  'verify-off': never;
  'verify-directory': never;
  'webhook-directory': never;
  'window-empty': 'time';
  'time-zone-unknown': 'value';
}
