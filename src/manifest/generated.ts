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
     * MTU of the interface, in bytes, at least 1280 where a subnet is IPv6. Absent: the smallest MTU of the underlay less the overhead (74 bytes over IPv4, 94 over IPv6).
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
     * Keys that no rollback lets back in. A Peer of this cluster must not use one.
     *
     * @maxItems 2048
     */
    revokedKeys?: PublicKey[];
    /**
     * What becomes of broadcast and multicast frames.
     */
    multicast?: {
      /**
       * `flood` sends a copy to every member, `none` drops them. In this version both drop what is neither ARP nor neighbour discovery.
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
     * The key that the node moves to. While it is given, both are accepted.
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
}
