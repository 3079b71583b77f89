internal import Foundation

extension FileManager {
  /// The attributes of the file that a path leads to, through links: `attributesOfItem` tells those of the link itself, whose
  /// permissions mean nothing and whose date stays. Certificates and secrets are mostly given as links, which are turned to another
  /// file when they are renewed (certbot, Kubernetes).
  func attributes(behind path: String) -> [FileAttributeKey: Any]? {
    try? attributesOfItem(atPath: URL(filePath: path).resolvingSymlinksInPath().path)
  }
}
