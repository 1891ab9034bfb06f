"""How a pack that is a component is built: with node and packages of its registry, cached by the hash of its inputs."""
