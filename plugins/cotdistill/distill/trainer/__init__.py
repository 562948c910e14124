"""The only modules that need torch: the losses and the trainers around the hosts."""
