"""What holds the house together: layers, the contract with its generated code, the tree, the documents.

No behaviour is tested here.
"""
