"""RFC 6962 trees: roots, inclusion, consistency. Stands alone, from RFC 9162 section 2.1."""

import hashlib


def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(items):
    """The root over the items' exact bytes."""
    if not items:
        return hashlib.sha256(b"").digest()
    if len(items) == 1:
        return leaf_hash(items[0])
    split = 1
    while split * 2 < len(items):
        split *= 2
    return node_hash(root(items[:split]), root(items[split:]))


def root_from_path(leaf, index, size, path):
    """The root that an inclusion path leads to (RFC 9162, 2.1.3.2); None if the path does not fit."""
    index, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if index % 2 == 1 or index == last:
            found = node_hash(sibling, found)
            while index % 2 == 0 and index != 0:
                index, last = index >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        index, last = index >> 1, last >> 1
    return found if last == 0 else None


def is_consistent(from_size, from_root, to_size, to_root, path):
    """Whether a later head extends an earlier one (RFC 9162, 2.1.4.2)."""
    if from_size == to_size:
        return not path and from_root == to_root
    path = list(path)
    if from_size & (from_size - 1) == 0:
        path.insert(0, from_root)
    index, last = from_size - 1, to_size - 1
    while index % 2 == 1:
        index, last = index >> 1, last >> 1
    earlier = later = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if index % 2 == 1 or index == last:
            earlier, later = node_hash(sibling, earlier), node_hash(sibling, later)
            while index % 2 == 0 and index != 0:
                index, last = index >> 1, last >> 1
        else:
            later = node_hash(later, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and earlier == from_root and later == to_root
