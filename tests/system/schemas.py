"""What stock's schemas do not know of what stock itself prints."""


def without_dots(capabilities):
    """Of a host's processor the schema takes no dot in the name of a feature; libvirt prints sse4.1 as soon as the model lacks it."""
    return capabilities.replace("<feature name='sse4.", "<feature name='sse4_")
